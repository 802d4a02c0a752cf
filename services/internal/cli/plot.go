package cli

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// plotWidth is how many cells a plot's axis has.
const plotWidth = 60

// plotOutput draws a line a window: for what has energy a bar from zero, and for
// what has none a mark for the mean between marks for the least and the greatest.
// Nothing is drawn between windows, so that what is not known shows as nothing.
func plotOutput(out io.Writer, zone *time.Location, ownZones bool) output[window] {
	var all []window
	begun := false
	draw := func() error {
		if len(all) == 0 {
			return nil
		}
		text := plot(all, zone, ownZones)
		if begun {
			text = "\n" + text
		}
		begun, all = true, all[:0]
		_, err := io.WriteString(out, text)
		return err
	}
	return output[window]{
		write: func(w window) error {
			if n := len(all); n > 0 && titleOf(all[n-1]) != titleOf(w) {
				if err := draw(); err != nil {
					return err
				}
			}
			all = append(all, w)
			return nil
		},
		flush: func() error {
			if err := draw(); err != nil || begun {
				return err
			}
			_, err := fmt.Fprintln(out, "no readings match")
			return err
		},
	}
}

// titleOf names what a window is of.
func titleOf(w window) string {
	name := entityOf(w.of)
	if w.of.GetGroup() != nil {
		name = w.of.GetGroup().GetKey()
	}
	if w.of.GetEnergyUnit() != "" {
		return fmt.Sprintf("%s %s, %s", name, metricOf(w.of), w.of.GetEnergyUnit())
	}
	return fmt.Sprintf("%s %s, mean in %s", name, metricOf(w.of), unitOf(w.of))
}

// drawn is what a line of a plot shows. Without energy it has a span.
type drawn struct {
	value      *float64
	low, high  float64
	span, fill bool
}

func drawnOf(w window) drawn {
	known, filled := energy(w), filledEnergy(w)
	if w.of.GetEnergyUnit() == "" {
		known, filled = w.Mean, filledMean(w)
	}
	switch {
	case known == nil:
		return drawn{value: filled, fill: true}
	case w.of.GetEnergyUnit() == "" && w.GetReceived() > 0:
		return drawn{value: known, low: w.GetStatistics().GetMin(), high: w.GetStatistics().GetMax(), span: true}
	default:
		return drawn{value: known}
	}
}

// plot draws the windows of one series or group.
func plot(windows []window, zone *time.Location, ownZones bool) string {
	lines := make([]drawn, len(windows))
	from, to := math.Inf(1), math.Inf(-1)
	bars := windows[0].of.GetEnergyUnit() != ""
	if bars {
		from, to = 0, 0
	}
	for i, w := range windows {
		lines[i] = drawnOf(w)
		if x := lines[i].value; x != nil {
			from, to = min(from, *x), max(to, *x)
		}
		if lines[i].span {
			from, to = min(from, lines[i].low), max(to, lines[i].high)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", titleOf(windows[0]))
	for i, w := range windows {
		label := w.GetStart().AsTime().In(zone).Format("2006-01-02 15:04")
		if ownZones {
			label = w.GetDate()
		}
		graph, value := "", ""
		if x := lines[i].value; x != nil {
			value = number(*x)
			if bars {
				graph = bar(from, to, *x, lines[i].fill)
			} else {
				graph = level(from, to, lines[i])
			}
		}
		if lines[i].fill && value != "" {
			value = "~" + value
		}
		pad := strings.Repeat(" ", plotWidth-utf8.RuneCountInString(graph))
		line := fmt.Sprintf("%s  %s%s  %s  %s", label, graph, pad, value, notes(w))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// position is where on the axis a value lies, in cells from its start.
func position(from, to, x float64) float64 {
	if to <= from {
		return 0
	}
	return (x - from) / (to - from) * plotWidth
}

// eighths are a cell filled from its left by one to seven eighths.
const eighths = "▏▎▍▌▋▊▉"

// bar draws from zero to a value, to the eighth of a cell to the right of zero.
// What is filled in is drawn lightly.
func bar(from, to, x float64, filled bool) string {
	full := "█"
	if filled {
		full = "░"
	}
	zero, end := position(from, to, 0), position(from, to, x)
	if x < 0 {
		begin := int(math.Round(end))
		return strings.Repeat(" ", begin) + strings.Repeat(full, max(int(math.Round(zero))-begin, 0))
	}
	begin := int(math.Round(zero))
	parts := max(int(math.Round(8*(end-float64(begin)))), 0)
	text := strings.Repeat(" ", begin) + strings.Repeat(full, parts/8)
	if parts%8 > 0 && !filled {
		text += string([]rune(eighths)[parts%8-1])
	}
	return text
}

// level marks a value on its span.
func level(from, to float64, d drawn) string {
	cell := func(x float64) int { return min(int(position(from, to, x)), plotWidth-1) }
	at := cell(*d.value)
	begin, end := at, at
	if d.span {
		begin, end = min(cell(d.low), at), max(cell(d.high), at)
	}
	mark := "●"
	if d.fill {
		mark = "○"
	}
	return strings.Repeat(" ", begin) + strings.Repeat("─", at-begin) + mark + strings.Repeat("─", end-at)
}
