package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated parts of docs/ARCHITECTURE.md")

const architecture = "docs/ARCHITECTURE.md"

// What docs/ARCHITECTURE.md has of the code is what the code has.
func TestArchitectureIsTrue(t *testing.T) {
	text, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for name, part := range map[string]string{
		"imports": importTable(t), "messages": messageTables(t), "facts": factTable(t),
	} {
		begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
		before, rest, ok := strings.Cut(want, begin)
		_, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("no place for %s", name)
		}
		want = before + begin + part + end + after
	}
	if *update {
		if err := os.WriteFile(architecture, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		text = []byte(want)
	}
	if string(text) != want {
		t.Errorf("%s is not what go test . -run Architecture -update writes", architecture)
	}
	named := regexp.MustCompile("`([\\w./]+(?:\\.(?:go|md|json|yml)|/))`")
	for _, file := range named.FindAllStringSubmatch(want, -1) {
		name := file[1]
		if _, err := os.Stat(name); err != nil && !existsSomewhere(name) {
			t.Errorf("%s names %s, which is not there", architecture, name)
		}
	}
}

// existsSomewhere reports whether a name without a directory is that of a file.
func existsSomewhere(name string) (found bool) {
	if strings.Contains(name, "/") {
		return false
	}
	_ = filepath.WalkDir(".", func(path string, _ fs.DirEntry, _ error) error {
		found = found || filepath.Base(path) == name
		return nil
	})
	return found
}

const modulePath = "github.com/finite-init/finite"

// importTable lists what each package of the binary imports of the others.
func importTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| package | imports |\n|---|---|\n")
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		ctx := build.Default
		ctx.GOOS, ctx.GOARCH, ctx.CgoEnabled = "linux", "amd64", false
		dir := "." + strings.TrimPrefix(path, modulePath)
		pkg, err := ctx.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		var own []string
		for _, i := range pkg.Imports {
			if strings.HasPrefix(i, modulePath) {
				own = append(own, i)
			}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", shortName(path), strings.Join(apply(own, shortName), ", "))
		for _, i := range own {
			visit(i)
		}
	}
	visit(modulePath)
	lines := strings.SplitAfter(strings.TrimSuffix(b.String(), "\n"), "\n")
	lines[len(lines)-1] += "\n"
	slices.Sort(lines[2:])
	return strings.Join(lines, "")
}

func shortName(path string) string {
	if path == modulePath {
		return "main"
	}
	return strings.TrimPrefix(path, modulePath+"/")
}

func apply(list []string, f func(string) string) (out []string) {
	for _, s := range list {
		out = append(out, f(s))
	}
	return out
}

// keeperDecls are the declarations of package keeper on amd64.
func keeperDecls(t *testing.T) (decls []*ast.GenDecl) {
	t.Helper()
	ctx := build.Default
	ctx.GOOS, ctx.GOARCH = "linux", "amd64"
	pkg, err := ctx.ImportDir("internal/keeper", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(
			token.NewFileSet(),
			filepath.Join("internal/keeper", name),
			nil,
			parser.ParseComments,
		)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				decls = append(decls, g)
			}
		}
	}
	return decls
}

// said is what comments say of a declaration, in one line.
func said(groups ...*ast.CommentGroup) string {
	var words []string
	for _, g := range groups {
		words = append(words, strings.Fields(g.Text())...)
	}
	return strings.ReplaceAll(strings.Join(words, " "), "|", "\\|")
}

// messageTables are the kinds of messages, in the order of their numbers.
func messageTables(t *testing.T) string {
	t.Helper()
	var blocks []string
	for _, d := range keeperDecls(t) {
		if d.Tok != token.CONST || len(d.Specs) == 0 {
			continue
		}
		first := d.Specs[0].(*ast.ValueSpec)
		if kind, ok := first.Type.(*ast.Ident); !ok || kind.Name != "Kind" {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n\n| kind | what it says |\n|---|---|\n", said(d.Doc))
		for _, s := range d.Specs {
			v := s.(*ast.ValueSpec)
			fmt.Fprintf(&b, "| %s | %s |\n", v.Names[0].Name, said(v.Doc, v.Comment))
		}
		blocks = append(blocks, b.String())
	}
	if len(blocks) < 6 {
		t.Errorf("%d kinds of messages", len(blocks))
	}
	slices.Sort(blocks)
	return strings.Join(blocks, "\n")
}

// factTable are the fields of keeper.Facts.
func factTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| fact | what it says |\n|---|---|\n")
	for _, d := range keeperDecls(t) {
		for _, s := range d.Specs {
			spec, ok := s.(*ast.TypeSpec)
			if !ok || spec.Name.Name != "Facts" {
				continue
			}
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				var names []string
				for _, n := range f.Names {
					names = append(names, n.Name)
				}
				fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(names, ", "), said(f.Doc, f.Comment))
			}
		}
	}
	return b.String()
}
