package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browsers are the names that Chromium goes by.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}

// tab is a tab of a browser of its own.
type tab struct {
	ctx context.Context //nolint:containedctx // it is the tab: chromedp keeps it there

	mu         sync.Mutex
	complaints []string
}

// browser opens a tab.
func browser(t *testing.T) *tab {
	t.Helper()
	var path string
	for _, name := range browsers {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skipf("no browser: run scripts/setup, or install one of %v", browsers)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 { // its sandbox does not work for root
		options = append(options, chromedp.NoSandbox)
	}
	ctx, closeBrowser := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(closeBrowser)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	b := &tab{ctx: ctx}
	b.do(t) // the browser starts with no deadline of an action
	listening, stop := context.WithCancel(ctx)
	messages, heard := chromedp.Console(listening), make(chan struct{})
	go func() {
		defer close(heard)
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Source == "security" || m.Source == "network" {
				b.mu.Lock()
				b.complaints = append(b.complaints, fmt.Sprintf("%s %s (%s)", m, m.URL, m.Source))
				b.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() { stop(); <-heard })
	return b
}

// isContent fails the test if a script has failed, or the browser could not or
// would not load something.
func (b *tab) isContent(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(b.complaints, "\n"))
	}
}

// do runs steps that have no result.
func (b *tab) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	run(t, b, chromedp.Steps(steps...))
}

func run[T any](t *testing.T, b *tab, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if chromedp.FromContext(ctx).Target == nil {
		ctx = b.ctx // the first action starts the browser, which must outlive it
	}
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// text returns what the first element that a selector finds says.
func (b *tab) text(t *testing.T, selector string) string {
	t.Helper()
	return run(t, b, chromedp.Text(chromedp.CSS(selector)))
}

// until waits until an expression of JavaScript is true. The page's policy
// forbids to do that in the page.
func (b *tab) until(t *testing.T, what, condition string) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		ctx, cancel := context.WithDeadline(b.ctx, deadline)
		is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
		cancel()
		switch {
		case is && err == nil:
			return
		case errors.Is(err, context.DeadlineExceeded) || time.Now().After(deadline):
			t.Fatalf("waited %s for %s; the page is\n%s", patience, what, b.text(t, "body"))
		}
	}
}

// scheme has pages be "light" or "dark".
func scheme(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	})
}

// scriptless turns scripts of pages off.
func scriptless() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled,
			emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
}
