package engines

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// sources is where the module is.
const sources = "../../.."

// buildPrograms are what make build needs besides Go.
var buildPrograms = []string{"make", "sh", "install", "rm"}

// `make image`: the Dockerfile builds an image from what .dockerignore lets in. It holds the binary
// and nothing else, and is used as its first lines say.
func TestDockerImage(t *testing.T) {
	need(t, slices.Concat(buildPrograms, []string{"go", "ldd"})...)
	d := docker(t) // not beside others: it takes all processors
	goImage := d.goImage(t)
	const built, used = "finite-built", "finite-used"
	d.build(t, "--build-arg", "GO_IMAGE="+goImage, "--build-arg", "VERSION=v1.2.3-test",
		"--build-arg", "COMMIT=0123456789ab", "-t", built, sources)
	if files := d.files(t, built); !slices.Equal(files, []string{"finite"}) {
		t.Errorf("the image holds %v", files)
	}
	version := start(t, d.command("run", "--rm", "--network", "none", built, "--version")).wait()
	version.check(t, 0)
	if !strings.Contains(version.stdout, "v1.2.3-test") || !strings.Contains(version.stdout, "0123456789ab") {
		t.Errorf("the version is %q", version.stdout)
	}

	dir := t.TempDir()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		copyFile(busybox, filepath.Join(dir, "server"), 0o755),
		os.WriteFile(filepath.Join(dir, "Dockerfile"),
			[]byte("FROM "+built+"\nCOPY server /busybox\nCMD [\"/busybox\", \"sh\", \"-c\", \"exit 3\"]\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	d.build(t, "-t", used, dir)
	out := start(t, d.command("run", "--rm", "--network", "none", used)).wait()
	out.check(t, 3)
	out.silent(t)
	out = start(t, d.command("run", "--rm", "--network", "none", used,
		"--timeout", testkit.Stretch("100ms"), "--", "/busybox", "sleep", "1000")).wait()
	out.check(t, 124)
	out.says(t, "deadline was reached")
}

// .dockerignore keeps out what images are not built from, and nothing else: a directory that is new
// comes in.
func TestDockerContext(t *testing.T) {
	d := docker(t)
	t.Parallel()
	in := []string{
		".dockerignore", "Dockerfile", "Makefile", "bin/finite", "dist/finite-linux-arm64",
		"go.mod", "go.sum", "init/run.go", "init/vfork_linux_amd64.s",
		"internal/sys/sys_linux.go", "main.go", "new/package/file.go", "new/package/table.json",
	}
	out := []string{
		".ci/run", ".git/HEAD", ".gitignore", ".golangci.yml", "LICENSE",
		"README.md", "bin/.linked", "bin/tools/golangci-lint", "docs/report.md", "examples/misbehave.sh",
		"init/run_test.go", "main_test.go", "new/package/file_test.go",
		"scripts/test.sh", "signals/testdata/entered/main.go", "tests/bench/go.mod",
		"tests/integration/main_test.go", "tools/go.mod",
	}
	dir := t.TempDir()
	for _, name := range slices.Concat(in, out) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	dockerfile := filepath.Join(t.TempDir(), "Dockerfile")
	if err := errors.Join(
		copyFile(filepath.Join(sources, ".dockerignore"), filepath.Join(dir, ".dockerignore"), 0o644),
		copyFile(filepath.Join(sources, "examples/prebuilt.Dockerfile"),
			filepath.Join(dir, "examples/prebuilt.Dockerfile"), 0o644),
		os.WriteFile(dockerfile, []byte("FROM scratch\nCOPY . /\nCMD [\"/none\"]\n"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	d.build(t, "-f", dockerfile, "-t", "finite-context", dir)
	got := d.files(t, "finite-context")
	// Whether what it is built by is in the context is of no matter.
	byName := func(name string) bool { return name == ".dockerignore" || name == "Dockerfile" }
	got, in = slices.DeleteFunc(got, byName), slices.DeleteFunc(in, byName)
	slices.Sort(got)
	if !slices.Equal(got, in) {
		t.Errorf("the context is\n%v, want\n%v", got, in)
	}

	// The other Dockerfile takes the binary from it.
	for _, options := range [][]string{nil, {"--build-arg", "BINARY=dist/finite-linux-arm64"}} {
		d.build(t, append(options, "-f", filepath.Join(dir, "examples/prebuilt.Dockerfile"),
			"-t", "finite-prebuilt", dir)...)
		if files := d.files(t, "finite-prebuilt"); !slices.Equal(files, []string{"finite"}) {
			t.Errorf("%v: the image holds %v", options, files)
		}
	}
}

// build is docker build, without a network.
func (d *dockerd) build(t *testing.T, args ...string) {
	t.Helper()
	cmd := d.command(append([]string{"build", "--network", "none"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("docker build %v: %v\n%s", args, err, out)
	}
}

// files lists what the layers of an image hold, directories apart. (A container, which docker
// export is of, has mount points as well.)
func (d *dockerd) files(t *testing.T, image string) []string {
	t.Helper()
	saved, err := d.command("save", image).Output()
	if err != nil {
		t.Fatalf("docker save %s: %v", image, err)
	}
	content := map[string][]byte{}
	if err := eachFile(saved, func(name string, text []byte) { content[name] = text }); err != nil {
		t.Fatal(err)
	}
	var manifest []struct{ Layers []string }
	if err := json.Unmarshal(content["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("docker save %s: %v, %s", image, err, content["manifest.json"])
	}
	var files []string
	for _, layer := range manifest[0].Layers {
		if err := eachFile(content[layer], func(name string, _ []byte) {
			files = append(files, name)
		}); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func eachFile(archive []byte, f func(name string, text []byte)) error {
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		f(h.Name, text)
	}
}

// goImage makes an image that stands for GO_IMAGE where none can be pulled: this machine's
// toolchain, the modules that go.mod names, make and what that runs. It returns its name.
func (d *dockerd) goImage(t *testing.T) string {
	t.Helper()
	const name = "finite-go"
	env := strings.Fields(output(t, "go", "env", "GOROOT", "GOMODCACHE", "GOOS", "GOARCH"))
	if len(env) != 4 {
		t.Fatalf("go env: %q", env)
	}
	root, modules, tools := env[0], env[1], "pkg/tool/"+env[2]+"_"+env[3]
	cmd := d.command("import", "-c", "ENV PATH=/usr/local/go/bin:/bin",
		"-c", "ENV GOPROXY=file:///modules", "-c", "ENV GOSUMDB=off", "-c", "ENV GOTOOLCHAIN=local",
		"-c", "ENV HOME=/root", "-", name)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &imageWriter{Writer: tar.NewWriter(stdin), has: map[string]bool{}}
	w.dir("tmp", 0o777)
	w.dir("root", 0o700)
	for _, file := range []string{
		"VERSION", "go.env", "bin/go", tools + "/asm", tools + "/compile", tools + "/link",
	} {
		w.file("usr/local/go/"+file, filepath.Join(root, file))
	}
	for _, dir := range []string{"pkg/include", "src"} {
		w.tree("usr/local/go/"+dir, filepath.Join(root, dir))
	}
	for _, module := range moduleFiles(t) {
		file, err := filepath.Rel(filepath.Join(modules, "cache", "download"), module)
		if err != nil {
			t.Fatal(err)
		}
		w.file(filepath.Join("modules", file), module)
	}
	for _, program := range buildPrograms {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		w.file("bin/"+program, path)
		libraries, _ := exec.Command("ldd", path).Output() // it fails where there are none
		for _, word := range strings.Fields(string(libraries)) {
			if filepath.IsAbs(word) {
				w.file(word[1:], word)
			}
		}
	}
	err = errors.Join(w.err, w.Close(), stdin.Close())
	if waitErr := cmd.Wait(); err != nil || waitErr != nil {
		t.Fatalf("docker import: %v, %v\n%s", err, waitErr, &said)
	}
	return name
}

// moduleFiles lists the files of the modules that go.mod names, in the cache of the go command,
// which has the layout of a module proxy.
func moduleFiles(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json")
	cmd.Dir = sources
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod download: %v\n%s", err, out)
	}
	var files []string
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var module struct{ Info, GoMod, Zip string }
		if err := d.Decode(&module); err != nil {
			t.Fatal(err)
		}
		files = append(files, module.Info, module.GoMod, module.Zip)
	}
	return files
}

func output(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return string(out)
}

// imageWriter writes the content of an image. After an error it does nothing.
type imageWriter struct {
	*tar.Writer
	has map[string]bool
	err error
}

func (w *imageWriter) dir(name string, mode int64) {
	if w.err == nil {
		w.err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode})
	}
}

// file adds a file, also where path is a link to it.
func (w *imageWriter) file(name, path string) {
	if w.err != nil || w.has[name] {
		return
	}
	w.has[name] = true
	w.err = func() error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm()), Size: int64(len(text)),
		}); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}()
}

// tree adds a directory without what only tests and the commands of the toolchain need.
func (w *imageWriter) tree(name, path string) {
	if w.err != nil {
		return
	}
	if path, w.err = filepath.EvalSymlinks(path); w.err != nil {
		return
	}
	w.err = filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "testdata" || file == filepath.Join(path, "cmd")):
			return filepath.SkipDir
		case !e.IsDir() && !strings.HasSuffix(file, "_test.go"):
			w.file(name+strings.TrimPrefix(file, path), file)
		}
		return w.err
	})
}
