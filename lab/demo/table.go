// Copyright The Ashlar Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ashlar-nos/ashlar/lab/calls"
	"github.com/ashlar-nos/ashlar/lab/stream"
)

// row is one step in the table. What was sent and called counts to the step in which it happened.
type row struct {
	name, remark string
	took         time.Duration
	// measured: the stream ran.
	measured bool
	packets  stream.Totals
	calls    calls.Stats
}

// moves: the step changes the path on purpose.
func (r row) moves() bool { return strings.HasPrefix(r.name, "move") }

// line is the row as it is shown while the demo runs.
func (r row) line() string {
	parts := []string{"done in " + r.took.Round(time.Millisecond).String()}
	if r.measured {
		parts = append(parts,
			fmt.Sprintf("%s packets sent, %d lost, %d reordered", thousands(r.packets.Sent), r.packets.Lost, r.packets.Reordered),
			fmt.Sprintf("%d calls, %d failed, %d retried", r.calls.Made, r.calls.Failed, r.calls.Retried))
	}
	if r.remark != "" {
		parts = append(parts, r.remark)
	}
	return strings.Join(parts, "; ")
}

func (d *demo) printTable(took time.Duration) {
	total := row{name: "total", took: took, measured: true}
	for _, r := range d.rows {
		total.packets.Sent += r.packets.Sent
		total.packets.Lost += r.packets.Lost
		total.packets.Reordered += r.packets.Reordered
		total.calls.Made += r.calls.Made
		total.calls.Failed += r.calls.Failed
		total.calls.Retried += r.calls.Retried
	}
	fmt.Fprintln(d.Out)
	w := tabwriter.NewWriter(d.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tTIME\tPACKETS SENT\tLOST\tREORDERED\tCALLS MADE\tFAILED\tRETRIED\tREMARK")
	for _, r := range append(d.rows, total) {
		fmt.Fprintln(w, strings.Join(r.cells(), "\t"))
	}
	w.Flush()
	fmt.Fprintln(d.Out)
	if len(d.faults) == 0 {
		fmt.Fprintln(d.Out, "Nothing was lost and nothing failed.")
	}
}

func (r row) cells() []string {
	cells := []string{r.name, r.took.Round(time.Millisecond).String()}
	if !r.measured {
		return append(cells, "-", "-", "-", "-", "-", "-", r.remark)
	}
	return append(cells,
		thousands(r.packets.Sent), thousands(r.packets.Lost), thousands(r.packets.Reordered),
		strconv.Itoa(r.calls.Made), strconv.Itoa(r.calls.Failed), strconv.Itoa(r.calls.Retried), r.remark)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
