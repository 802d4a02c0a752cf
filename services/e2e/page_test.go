package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	energyv1 "github.com/energy-platform/energy/proto/gen/energy/v1"
)

// pictureVariable names the file that TestPage writes a picture of the page to.
const pictureVariable = "ENERGY_PAGE_PICTURE"

// TestPage looks at a month of real readings as a visitor does.
func TestPage(t *testing.T) {
	t.Parallel()
	b := browser(t)
	p := embedded(t)
	p.household(t, nil)
	p.await(t, "gold to catch up", caughtUp)
	home := "http://" + p.http + "/?zone=Europe/Paris"

	b.do(t, chromedp.EmulateViewport(1280, 900), scheme("light"), chromedp.Navigate(home))
	b.until(t, "the page to be live", `document.getElementById("live").dataset.state === "on"`)
	for _, name := range []string{"sceaux", "active_power_mean", "sceaux.kitchen", "voltage_mean"} {
		if list := b.text(t, "nav.list"); !strings.Contains(list, name) {
			t.Errorf("the list lacks %s:\n%s", name, list)
		}
	}
	if bars := count(t, b, "svg.chart rect.bar"); bars != 31 {
		t.Errorf("the plot has %d bars, want one for each of 31 days", bars)
	}
	if status := b.text(t, "#status"); !strings.Contains(status, "Caught up") || !strings.Contains(status, "338\u202f933") {
		t.Errorf("the state of the pipeline is\n%s", status)
	}
	for _, window := range []string{"day", "15m", "2000h", "gas_day"} {
		b.do(t, chromedp.Navigate(home+"&from=2007-01-01&to=2007-01-08&window="+window))
		sameAsJSON(t, b, p)
	}
	b.do(t, chromedp.EmulateViewport(360, 780))
	if width := run(t, b, chromedp.Evaluate[int]("document.documentElement.scrollWidth")); width != 360 {
		t.Errorf("on 360 pixels the page is %d wide", width)
	}
	picture(t, b, home)
	withoutScripts(t, b, home)
	b.isContent(t)
}

// picture writes one of the page if somebody asked for it.
func picture(t *testing.T, b *tab, home string) {
	t.Helper()
	path := os.Getenv(pictureVariable)
	if path == "" {
		return
	}
	b.do(t, chromedp.EmulateViewport(1280, 900), scheme("light"), chromedp.Navigate(home))
	b.until(t, "the page to be live", `document.getElementById("live").dataset.status > 0`)
	if err := os.WriteFile(path, run(t, b, chromedp.FullScreenshot(100)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// withoutScripts checks that nothing is missing but what keeps an open page up
// to date.
func withoutScripts(t *testing.T, b *tab, home string) {
	t.Helper()
	b.do(t, scriptless(), chromedp.Navigate(home+"&entity=sceaux&metric=voltage_mean"))
	if live := b.text(t, "#live"); live != "as of now" {
		t.Errorf("a script has run: the page is %q", live)
	}
	if bands := count(t, b, "svg.chart rect.band"); bands != 31 {
		t.Errorf("the plot has %d bands, want one for each of 31 days", bands)
	}
	b.do(t, chromedp.SetValue(chromedp.CSS("select[name=window]"), "week"), chromedp.Submit(chromedp.CSS("form.ask")))
	b.until(t, "the plot of weeks", `location.search.includes("window=week")`)
	if heading := b.text(t, ".caption h3"); heading != "Mean, min and max per week, V" {
		t.Errorf("the form leads to %q", heading)
	}
}

func count(t *testing.T, b *tab, selector string) int {
	t.Helper()
	return run(t, b, chromedp.Evaluate[int](fmt.Sprintf("document.querySelectorAll(%q).length", selector)))
}

// sameAsJSON checks that the table has the numbers that its link to JSON leads
// to.
func sameAsJSON(t *testing.T, b *tab, p *platform) {
	t.Helper()
	link := run(t, b, chromedp.Evaluate[string](`document.querySelector("#plot a.json").getAttribute("href")`))
	code, answer := p.rest(t, http.MethodGet, link, "")
	if code != http.StatusOK {
		t.Fatalf("%s: %d %s", link, code, answer)
	}
	var windows []*energyv1.Aggregate
	for _, m := range results(t, answer, func() *energyv1.QueryAggregatesResponse {
		return new(energyv1.QueryAggregatesResponse)
	}) {
		windows = append(windows, m.(*energyv1.QueryAggregatesResponse).GetAggregates()...)
	}
	shown := run(t, b, chromedp.Evaluate[[]string](
		`[...document.querySelectorAll("#numbers tbody tr")].map((row) => row.querySelector("td").textContent)`))
	if len(shown) != len(windows) || len(windows) == 0 {
		t.Fatalf("the table has %d rows, JSON %d windows", len(shown), len(windows))
	}
	for i, a := range windows {
		text := strings.ReplaceAll(shown[i], "\u202f", "")
		_, decimals, _ := strings.Cut(text, ".")
		if want := strconv.FormatFloat(a.GetStatistics().GetEnergy(), 'f', len(decimals), 64); text != want {
			t.Errorf("row %d shows %s kWh, JSON has %s", i, text, want)
		}
	}
}

// TestOpenPageFollows opens a page of nothing, publishes, and sees each value
// come without a hand on the page.
func TestOpenPageFollows(t *testing.T) {
	t.Parallel()
	b := browser(t)
	p := embedded(t) // stops before the browser: an open page holds up no shutdown
	p.status(t)      // it stands
	b.do(t, chromedp.Navigate("http://"+p.http+"/"))
	b.until(t, "the page to be live", `document.getElementById("live").dataset.state === "on"`)
	if said := b.text(t, "nav.list"); !strings.Contains(said, "No series yet") {
		t.Errorf("a page of nothing says\n%s", said)
	}
	at := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	publish := func(value float64, after time.Duration) {
		send(t, p, "application/json", fmt.Sprintf(`{"entity_id":"boiler","metric":"temperature","unit":"°C","value":%g,"time":%q}`,
			value, at.Add(after).Format(time.RFC3339)))
	}
	publish(61.5, 0)
	b.until(t, "the first series to appear", `document.body.textContent.includes("61.5")`)
	b.until(t, "the page of the series to be live", `document.getElementById("live").dataset.plot > 0`)

	mark := run(t, b, chromedp.Evaluate[int]("window.mark = 7"))
	publish(83.25, time.Minute)
	b.until(t, "the value in the table", `document.getElementById("numbers").textContent.includes("83.25")`)
	b.until(t, "the state of the pipeline to follow", `document.querySelector("#stages td").textContent === "2"`)
	if still := run(t, b, chromedp.Evaluate[int]("window.mark || 0")); still != mark {
		t.Error("the page was loaded anew")
	}
	b.isContent(t)
}
