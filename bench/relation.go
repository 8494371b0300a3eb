package main

import "fmt"

// A relation says how two figures make a ratio, and how to read it.
type relation struct {
	ratio func(subject, against float64) float64
	words string
}

var (
	costs  = relation{func(subject, against float64) float64 { return subject / against }, "%s times the cost"}
	faster = relation{func(subject, against float64) float64 { return against / subject }, "%s times as fast"}
	ofRate = relation{func(subject, against float64) float64 { return subject / against }, "%s of the rate"}
)

// An aim is what a comparison should show.
type aim struct {
	met  func(ratio, subject float64) bool
	text string
}

func ratioAtMost(limit float64) aim {
	return aim{func(ratio, _ float64) bool { return ratio <= limit }, fmt.Sprintf("at most %v", limit)}
}

func ratioAtLeast(limit float64) aim {
	return aim{func(ratio, _ float64) bool { return ratio >= limit }, fmt.Sprintf("at least %v", limit)}
}

// figureAtMost is about the subject's own figure.
func figureAtMost(limit float64, in unit) aim {
	return aim{func(_, subject float64) bool { return subject <= limit }, "at most " + in(limit)}
}

func (a aim) verdict(ratio, subject float64) string {
	switch {
	case a.met == nil:
		return ""
	case a.met(ratio, subject):
		return a.text + ": met"
	}
	return a.text + ": **missed**"
}

// A unit says how a figure is printed.
type unit func(float64) string

func nanoseconds(v float64) string  { return fmt.Sprintf("%.0f ns", v) }
func milliseconds(v float64) string { return short(v) + " ms" }
func perSecond(v float64) string    { return thousands(v) + "/s" }
func byteCount(v float64) string    { return thousands(v) + " B" }
func allocations(v float64) string  { return fmt.Sprintf("%.0f allocations", v) }

// short prints about three digits.
func short(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// thousands prints a whole number, with commas.
func thousands(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
