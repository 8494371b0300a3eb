package redisstore

import (
	"strconv"
	"sync/atomic"
)

// changes numbers the changes that a broker makes to logs and cells, so that the
// scripts make each once, however often and in whatever order it arrives: the
// client repeats what it got no reply to, and a request that it gave up may have
// stood in a queue all the while. Looking for the event among the newest of the
// log would not do: any number of others can have been added since, and it can
// have been dropped already.
//
// Each change is made under the name of a writer, which belongs to it alone until
// its reply is there. Beside the logs and cells of a slot the script keeps, for a
// minute after its last change there, which change of this writer was the last,
// and what came of it. A writer's numbers grow. So a change with the remembered
// number is a repetition and gets the same answer, and one with a smaller number
// is a repetition of an earlier one that was answered long since. What is kept
// grows with the number of changes under way at a time, not with how many there
// are; see writers.go, whose names these are.
//
// The memory and the change are one transaction, also for the server's own
// replicas. A failover loses both or neither.
type changes struct {
	writers writers
	last    atomic.Uint64
}

type change struct {
	writer   string
	number   string
	lent     *writer
	giveBack func()
	known    bool
}

// begin takes the writer before the number, so that each writer's numbers grow.
func (c *changes) begin() *change {
	lent, giveBack := c.writers.take()
	return &change{
		writer:   lent.name,
		number:   strconv.FormatUint(c.last.Add(1), 10),
		lent:     lent,
		giveBack: giveBack,
	}
}

// answered says that the change had its reply.
func (c *change) answered() { c.known = true }

// end gives the writer back, unless the change may still be on its way.
func (c *change) end() {
	if !c.known {
		c.lent.retire()
	}
	c.giveBack()
}
