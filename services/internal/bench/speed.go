package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A machine that is shared, or that saves power, does not do the same work in a second
// of processor time all the time. So a fixed piece of work is done now and then during a
// run: processor times are given as if each run had had the speed of the first.

// speedometer does the work in the background, for about 1 % of one processor.
type speedometer struct {
	end    chan struct{}
	result chan float64
}

const (
	speedPause = 100 * time.Millisecond
	speedWork  = 1 << 20 // steps: about a millisecond
)

func sampleSpeed() *speedometer {
	s := &speedometer{end: make(chan struct{}), result: make(chan float64)}
	go func() {
		runtime.LockOSThread() // processor time is that of the thread
		defer runtime.UnlockOSThread()
		ticker := time.NewTicker(speedPause)
		defer ticker.Stop()
		done, took := 0, time.Duration(0)
		for {
			before := threadTime()
			sink = work(sink)
			took += threadTime() - before
			done++
			select {
			case <-ticker.C:
			case <-s.end:
				s.result <- float64(done) / took.Seconds()
				return
			}
		}
	}()
	return s
}

// stop returns how often the work would have been done in a second of processor time.
func (s *speedometer) stop() float64 {
	close(s.end)
	return <-s.result
}

var sink uint64

// work is a chain of multiplications that no compiler shortens.
func work(x uint64) uint64 {
	for range speedWork {
		x = x*6364136223846793005 + 1442695040888963407
		x ^= x >> 29
	}
	return x
}

func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(ts.Nano())
}
