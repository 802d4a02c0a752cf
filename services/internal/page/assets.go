package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets templates
var files embed.FS

// assets is what the page is made of.
type assets struct {
	templates *template.Template
	content   map[string][]byte // by the name in its address
	address   map[string]string // by the name of the file
}

// loadAssets gives each file an address that changes with its content, so that
// browsers may keep it for good.
func loadAssets() (*assets, error) {
	entries, err := files.ReadDir("assets")
	if err != nil {
		return nil, fmt.Errorf("read the page's files: %w", err)
	}
	a := &assets{content: make(map[string][]byte), address: make(map[string]string)}
	for _, e := range entries {
		content, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read the page's files: %w", err)
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ext) + "-" + hex.EncodeToString(sum[:6]) + ext
		a.content[name], a.address[e.Name()] = content, "/assets/"+name
	}
	a.templates, err = template.ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("read the page's templates: %w", err)
	}
	return a, nil
}

// serve serves a file.
func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	content, ok := a.content[r.PathValue("name")]
	if !ok {
		http.Error(w, "there is no such file: reload the page", http.StatusNotFound)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, r.PathValue("name"), time.Time{}, bytes.NewReader(content))
}

// shell is what every page has around its content.
type shell struct {
	Title               string
	Style, Script, Icon string // addresses
}

func (p *page) shell(title string) shell {
	a := p.assets.address
	return shell{Title: title, Style: a["page.css"], Script: a["page.js"], Icon: a["icon.svg"]}
}
