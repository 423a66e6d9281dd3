package api_test

import (
	"regexp"
	"strings"
	"testing"

	"balsa/api/internal/apitest"
)

func TestThePageIsServedWholeFromHere(t *testing.T) {
	server := serve(t, &apitest.Store{}, &apitest.Cluster{})
	page := send(t, "GET", server.URL+"/", "")
	if page.status != 200 || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Fatalf("/: %d, %s", page.status, page.header.Get("Content-Type"))
	}
	if !strings.Contains(page.body, `"swaggerJsonUrl":"/spec"`) || !strings.Contains(page.body, "validatorUrl: null") {
		t.Error("the page does not load /spec, or would send it to a validator elsewhere")
	}
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") ||
		!strings.Contains(policy, "connect-src 'self'") {
		t.Errorf("policy %q", policy)
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page.body, -1)
	if len(links) < 4 {
		t.Fatalf("the page has only %d links", len(links))
	}
	for _, link := range links {
		if !strings.HasPrefix(link[1], "/") || strings.HasPrefix(link[1], "//") {
			t.Errorf("the page links to %s", link[1])
			continue
		}
		if asset := send(t, "GET", server.URL+link[1], ""); asset.status != 200 || asset.body == "" {
			t.Errorf("%s: %d with %d bytes", link[1], asset.status, len(asset.body))
		}
	}
}
