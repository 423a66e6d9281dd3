package api_test

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa/api/internal/apitest"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// findBrowser returns the path of a Chromium, or skips the test.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium or Chrome in $PATH; install one to test the page in a browser")
	return ""
}

// browserLog collects what the page did behind the scenes.
type browserLog struct {
	mu         sync.Mutex
	requests   []string
	exceptions []string
}

func (l *browserLog) note(event any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		l.requests = append(l.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		l.exceptions = append(l.exceptions, e.ExceptionDetails.Text)
	}
}

// TestTryItOutInABrowser opens the page as a person would, fills in the form of
// POST /api/write and sends it.
func TestTryItOutInABrowser(t *testing.T) {
	browser := findBrowser(t)
	store := &apitest.Store{}
	server := serve(t, store, &apitest.Cluster{})

	var log browserLog
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.WindowSize(1200, 1600),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	defer stopAllocator()
	tab, closeTab := chromedp.NewContext(allocator, chromedp.WithListener(log.note))
	defer closeTab()
	if err := chromedp.Do(tab); err != nil { // starts it; a deadline here would kill it later
		t.Fatalf("starting %s: %v", browser, err)
	}
	ctx, cancel := context.WithTimeout(tab, 2*time.Minute)
	defer cancel()

	const write = `#operations-Text-write`
	steps := chromedp.Do(ctx,
		chromedp.Navigate(server.URL+"/"),
		chromedp.Click(chromedp.CSS(write+" .opblock-summary-control")),
		chromedp.WaitVisible(chromedp.CSS(write+" textarea.body-param__text")),
		chromedp.Click(chromedp.CSS(write+" button.execute")),
		chromedp.WaitVisible(chromedp.CSS(write+" .live-responses-table .response-col_status")),
	)
	screenshot(t, ctx)
	if steps != nil {
		t.Fatalf("using the page: %v", steps)
	}
	status, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(write+" .live-responses-table tbody .response-col_status")))
	if err != nil || !strings.HasPrefix(strings.TrimSpace(status), "200") {
		t.Errorf("the page shows status %q, %v; want 200", status, err)
	}
	// The form is filled in with the example of the document.
	if item, found, _ := store.Get([]byte("hello")); !found || string(item.Value) != "world" {
		t.Errorf("the store has hello = %q, %v; want what the page sent", item.Value, found)
	}

	log.mu.Lock()
	defer log.mu.Unlock()
	here, _ := url.Parse(server.URL)
	if !slices.Contains(log.requests, server.URL+"/api/write") {
		t.Errorf("requests %q; want one to /api/write", log.requests)
	}
	for _, request := range log.requests {
		if u, err := url.Parse(request); err != nil || (u.Scheme != "data" && u.Host != here.Host) {
			t.Errorf("the page asked %s; want requests to %s only", request, here.Host)
		}
	}
	if len(log.exceptions) > 0 {
		t.Errorf("exceptions in the page: %q", log.exceptions)
	}
}

// screenshot leaves a picture of the page with the test's artifacts (go test
// -artifacts keeps them).
func screenshot(t *testing.T, ctx context.Context) {
	t.Helper()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Errorf("taking a screenshot: %v", err)
		return
	}
	file := filepath.Join(t.ArtifactDir(), "swagger-ui.png")
	if err := os.WriteFile(file, png, 0o600); err != nil {
		t.Error(err)
	}
	t.Logf("screenshot: %s", file)
}
