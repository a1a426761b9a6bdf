package main

import (
	"fmt"
	"image/color"
	"slices"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// text returns a table for a terminal.
func text(title string, table [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", title)
	widths := make([]int, len(table[0]))
	for _, line := range table {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range table {
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// table returns the cells, the header first.
func (s *section) table() [][]string {
	lines := [][]string{slices.Concat([]string{""}, s.Columns)}
	for _, r := range s.Rows {
		line := []string{r.Name}
		for _, v := range r.Values {
			line = append(line, v.String())
		}
		lines = append(lines, line)
	}
	return lines
}

// markdown returns everything as one page.
func (r *result) markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(
		&b,
		"# Results\n\nMade by `make bench` on %s: %s, %d cores, %s, %s, %s, %s",
		r.Date,
		m.CPU,
		m.Cores,
		m.Memory,
		m.Kernel,
		m.System,
		m.Go,
	)
	if m.Guest {
		b.WriteString(", as a guest of a hypervisor")
	}
	b.WriteString(".\n\n")
	names := make([]string, 0, len(r.Versions))
	for name := range r.Versions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "- %s: %s\n", name, r.Versions[name])
	}
	b.WriteString("\n## Ceilings\n\n")
	writeMarkdown(&b, r.ceilingTable())
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", s.Title, s.How)
		if s.plot > 0 {
			fmt.Fprintf(
				&b,
				"<picture><source media=\"(prefers-color-scheme: dark)\" srcset=\"%s-dark.svg\"><img alt=\"%s\" "+
					"src=\"%s.svg\"></picture>\n\n",
				s.ID,
				s.Title,
				s.ID,
			)
		}
		writeMarkdown(&b, s.table())
	}
	return b.String()
}

func writeMarkdown(b *strings.Builder, table [][]string) {
	for i, line := range table {
		fmt.Fprintf(b, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(line)) + "|\n")
		}
	}
}

// theme is how a picture looks on a light or a dark page.
type theme struct {
	suffix                 string
	ground, ink, peer, own color.Color
}

var themes = []theme{
	{"", color.White, color.Gray{0x22}, color.RGBA{0x9a, 0xa5, 0xb1, 0xff}, color.RGBA{0x1f, 0x6f, 0xd0, 0xff}},
	{
		"-dark",
		color.RGBA{0x0d, 0x11, 0x17, 0xff},
		color.Gray{0xdd},
		color.RGBA{0x5b, 0x67, 0x73, 0xff},
		color.RGBA{0x58, 0xa6, 0xff, 0xff},
	},
}

// draw writes the section's column as a picture: a bar for each row, finite's in a colour of its
// own.
func (s *section) draw(file string, look theme) error {
	p := plot.New()
	p.BackgroundColor = look.ground
	p.Title.Text = s.Title
	p.X.Label.Text = s.Columns[s.plot-1]
	p.X.Min = 0
	for _, ink := range []*color.Color{
		&p.Title.TextStyle.Color, &p.X.Label.TextStyle.Color,
		&p.X.Color, &p.X.Tick.Color, &p.X.Tick.Label.Color,
		&p.Y.Color, &p.Y.Tick.Color, &p.Y.Tick.Label.Color,
	} {
		*ink = look.ink
	}
	var names []string
	var own, peers plotter.Values // a bar of the one kind is 0 where there is one of the other
	for _, r := range slices.Backward(s.Rows) {
		v := r.Values[s.plot-1]
		if !v.known() {
			continue
		}
		names = append(names, r.Name)
		if strings.HasPrefix(r.Name, "finite") {
			own, peers = append(own, float64(v)), append(peers, 0)
		} else {
			own, peers = append(own, 0), append(peers, float64(v))
		}
	}
	for _, bars := range []struct {
		values plotter.Values
		colour color.Color
	}{{peers, look.peer}, {own, look.own}} {
		chart, err := plotter.NewBarChart(bars.values, vg.Points(14))
		if err != nil {
			return err
		}
		chart.Horizontal, chart.Color, chart.LineStyle.Width = true, bars.colour, 0
		p.Add(chart)
	}
	p.NominalY(names...)
	return p.Save(16*vg.Centimeter, vg.Length(len(names))*0.8*vg.Centimeter+2.5*vg.Centimeter, file)
}
