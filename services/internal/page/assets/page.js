// Keeps an open page up to date: /live sends parts of it, rendered as the server
// renders the page, and each replaces the element of its name. Without this
// script the page is whole and stays as it was loaded.
"use strict";
(() => {
  const sign = document.getElementById("live");
  if (!sign) return;
  const again = 10000; // ms until a stream that was refused is asked for again

  const zones = document.getElementById("zones");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zones && here) {
    const option = document.createElement("option");
    option.value = here;
    zones.prepend(option);
  }

  const say = (state, text) => {
    sign.dataset.state = state;
    sign.textContent = text;
  };

  if (!window.EventSource) {
    say("off", "reloads every half minute");
    setTimeout(() => location.reload(), 30000);
    return;
  }

  // Somebody who fills in the form, scrolls a table or stands in it is not disturbed.
  const replace = (id, html) => {
    const old = document.getElementById(id);
    const fresh = old.cloneNode(false);
    fresh.innerHTML = html;
    for (const box of old.querySelectorAll(".scroll[id]")) {
      const same = fresh.querySelector("#" + box.id);
      if (same) same.dataset.at = box.scrollTop + " " + box.scrollLeft;
    }
    const form = old.querySelector("form.ask"), formNow = fresh.querySelector("form.ask");
    if (form && formNow) formNow.replaceWith(form);
    const focus = document.activeElement && document.activeElement.id;
    old.replaceWith(fresh);
    for (const box of fresh.querySelectorAll("[data-at]")) {
      [box.scrollTop, box.scrollLeft] = box.dataset.at.split(" ").map(Number);
    }
    if (focus && fresh.querySelector("#" + focus)) document.getElementById(focus).focus();
  };

  const follow = () => {
    const events = new EventSource(sign.dataset.url);
    events.onopen = () => say("on", "live");
    events.onerror = () => {
      if (events.readyState !== EventSource.CLOSED) {
        say("off", "connecting again");
        return;
      }
      say("off", "not live");
      setTimeout(follow, again);
    };
    for (const id of ["plot", "status"]) {
      events.addEventListener(id, (e) => {
        replace(id, e.data);
        const now = new Date();
        say("on", "live, updated " + now.toLocaleTimeString("en-GB"));
        sign.dataset[id] = String(Number(sign.dataset[id] || 0) + 1);
      });
    }
    events.addEventListener("reload", () => location.reload());
    addEventListener("pagehide", () => events.close(), { once: true });
  };
  // A page that the browser had put by is old.
  addEventListener("pageshow", (e) => {
    if (e.persisted) location.reload();
  });
  follow();
})();
