package sim

// clock is a process's own idea of time. It runs at a rate of its own, which is
// the rate of its ticks as well.
type clock struct {
	period Time // of a tick
	// local is what the clock showed at the time since, in thousandths of a tick.
	local uint64
	since Time
	// next is when the next tick is due.
	next Time
	// waiting says that a tick is in the inbox.
	waiting bool
}

// setClock draws a rate for the clock, which goes on from where it is.
func (n *node) setClock() {
	slowest, fastest := n.w.faults.SlowestClock, n.w.faults.FastestClock
	if slowest == 0 {
		slowest, fastest = 0.98, 1.02
	}
	if n.clock.period != 0 {
		n.clock.local = n.localTime()
	}
	n.clock.since = n.w.now
	n.clock.period = n.time(pointClock, Tick, func() Time {
		// The conversion keeps machines from adding and multiplying in one step,
		// which some do, and with another result.
		return Time(float64(Tick) / (slowest + float64(n.random.Float64()*(fastest-slowest))))
	})
}

// localTime is what the clock shows. It goes on while the process is stopped.
func (n *node) localTime() uint64 {
	return n.clock.local + uint64((n.w.now-n.clock.since)*Tick/n.clock.period)
}

func (n *node) scheduleTick(delay Time) {
	n.clock.next = n.w.now + delay
	if !n.w.byHand {
		n.later(delay, n.tick)
	}
}

// tick is a ticker that does not wait for the one who listens: a tick that nobody
// took when the next one is due is lost. So after a pause there is one at once,
// and the next when it is due. That is what the promises of package raft's
// lease.go rest on: ticks that a process has missed are not made up for.
func (n *node) tick() {
	if !n.clock.waiting {
		n.clock.waiting = true
		n.receive(func() {
			n.clock.waiting = false
			n.core.Tick()
		})
	}
	late := (n.w.now - n.clock.next) / n.clock.period
	n.scheduleTick(n.clock.next + (late+1)*n.clock.period - n.w.now)
}

// pause stops the process for a while. Where nothing depends on the clock, it has
// some ticks at once when it goes on.
func (n *node) pause(length Time, missed int) {
	if n.w.now < n.pausedUntil {
		return
	}
	n.pausedUntil = n.w.now + length
	if n.w.options.Core.LeaseTime > 0 {
		missed = 0
	}
	n.w.note(n, "is stopped until %s", n.pausedUntil)
	n.w.stats.Pauses++
	n.later(0, func() {
		for range missed {
			n.receive(func() { n.core.Tick() })
		}
	})
}
