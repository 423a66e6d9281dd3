package api

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// uiAssets are the files that the page at / is made of. They are mounted by
// name, because a catch-all route would answer for every mistyped path.
var uiAssets = []string{
	"swagger-ui.css",
	"swagger-ui-bundle.js",
	"swagger-ui-standalone-preset.js",
	"favicon-16x16.png",
	"favicon-32x32.png",
	"oauth2-redirect.html",
}

// The page starts itself with an inline script, and Swagger UI sets styles and
// draws its icons from data: URLs. Everything else, and above all every other
// server, is out of its reach.
const uiPolicy = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// mountUI serves Swagger UI at /, from files embedded in the program.
func mountUI(router chi.Router) {
	ui := v5emb.NewHandlerWithConfig(swgui.Config{
		Title:       "balsa",
		SwaggerJSON: "/spec",
		BasePath:    "/",
		SettingsUI: map[string]string{
			"tryItOutEnabled":          "true", // forms are open: the page is for trying
			"displayRequestDuration":   "true",
			"defaultModelsExpandDepth": "0",
		},
	})
	router.Get("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", uiPolicy)
		ui.ServeHTTP(w, r)
	})
	for _, asset := range uiAssets {
		router.Method(http.MethodGet, "/"+asset, ui)
	}
}
