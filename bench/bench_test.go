package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestMain lets this test be the server that it starts.
func TestMain(m *testing.M) {
	serveIfTold()
	m.Run()
}

// TestQuick runs everything in tiny sizes, so that it cannot rot. Its figures
// mean nothing.
func TestQuick(t *testing.T) {
	for _, args := range [][]string{{"-quick"}, {"-quick", "-scale"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var out bytes.Buffer
			if err := run(t.Context(), args, &out, t.Output()); err != nil {
				t.Fatal(err)
			}
			t.Log(out.String())
			if strings.Contains(out.String(), "NaN") {
				t.Error("a figure is no number")
			}
		})
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-run", "("}, {"-run", "nothing"}, {"-rounds", "0"}, {"more"}, {"-unknown"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out, t.Output()); err == nil || out.Len() > 0 {
			t.Errorf("%q: error %v, printed %q", args, err, out.String())
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		sorted []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{1, 2}, 1.5}, {[]float64{1, 2, 9}, 2}} {
		if got := median(test.sorted); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.sorted, got, test.want)
		}
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(v); got != want {
			t.Errorf("thousands(%v) = %q, want %q", v, got, want)
		}
	}
}
