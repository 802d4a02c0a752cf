package page

import (
	"math"
	"time"
)

// roundValues returns evenly spaced round values, the first at or below low, the
// last at or above high. Both are finite, low is below high, and neither is
// beyond 1e100.
func roundValues(low, high float64) []float64 {
	raw := (high - low) / 4
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, factor := range []float64{1, 2, 2.5, 5} {
		if factor*power >= raw {
			step = factor * power
			break
		}
	}
	first, last := math.Floor(low/step), math.Ceil(high/step)
	var values []float64
	for i := range int(last-first) + 1 {
		values = append(values, (first+float64(i))*step)
	}
	return values
}

// tickLabel prints a gridline's value with the decimals that tell it from the
// next.
func tickLabel(v float64, ticks []float64, scale float64) string {
	if scale != 1 {
		return number(v*scale, 0)
	}
	step := ticks[1] - ticks[0]
	decimals := min(max(-int(math.Floor(math.Log10(step)+1e-9)), 0), 9)
	if shifted := step * math.Pow(10, float64(decimals)); decimals < 9 && math.Abs(shifted-math.Round(shifted)) > 1e-6 {
		decimals++ // steps of 2.5
	}
	return number(v, decimals)
}

// calendarStep is a distance of ticks in the civil calendar.
type calendarStep struct {
	years, months, days, hours int
	about                      time.Duration
	layout                     string
}

const dayLong = 24 * time.Hour

var calendarSteps = []calendarStep{
	{hours: 1, about: time.Hour, layout: "15:04"},
	{hours: 3, about: 3 * time.Hour, layout: "15:04"},
	{hours: 6, about: 6 * time.Hour, layout: "15:04"},
	{hours: 12, about: 12 * time.Hour, layout: "15:04"},
	{days: 1, about: dayLong, layout: "2 Jan"},
	{days: 2, about: 2 * dayLong, layout: "2 Jan"},
	{days: 7, about: 7 * dayLong, layout: "2 Jan"},
	{days: 14, about: 14 * dayLong, layout: "2 Jan"},
	{months: 1, about: 30 * dayLong, layout: "Jan 2006"},
	{months: 3, about: 91 * dayLong, layout: "Jan 2006"},
	{years: 1, about: 365 * dayLong, layout: "2006"},
	{years: 2, about: 730 * dayLong, layout: "2006"},
	{years: 5, about: 1826 * dayLong, layout: "2006"},
	{years: 20, about: 7305 * dayLong, layout: "2006"},
	{years: 50, about: 18262 * dayLong, layout: "2006"},
}

// mostTicks is how many ticks have room on a wide screen.
const mostTicks = 9

// timeTicks returns ticks at round times of the axis' zone.
func timeTicks(a *axes) []tick {
	step := calendarSteps[len(calendarSteps)-1]
	for _, s := range calendarSteps {
		if a.to.Sub(a.from)/s.about <= mostTicks {
			step = s
			break
		}
	}
	var ticks []tick
	for t, i := step.start(a.from), 0; t.Before(a.to) && i < 4*mostTicks; t, i = step.next(t), i+1 {
		if t.Before(a.from) {
			continue
		}
		x := a.x(t)
		layout := step.layout
		if step.hours > 0 && t.Hour() == 0 && t.Minute() == 0 {
			layout = "2 Jan"
		}
		k := tick{
			X: coordinate(x), Percent: coordinate(x/10) + "%", Label: t.Format(layout), Anchor: "middle", Odd: len(ticks)%2 == 1,
		}
		if x < 30 {
			k.Anchor = "start"
		} else if x > chartWidth-30 {
			k.Anchor = "end"
		}
		ticks = append(ticks, k)
	}
	return ticks
}

// start returns a round time at or before t.
func (s calendarStep) start(t time.Time) time.Time {
	switch {
	case s.hours > 0:
		return midnight(t, 0)
	case s.days >= 7:
		return midnight(t, -(int(t.Weekday())+6)%7) // Monday
	case s.days > 0:
		return midnight(t, 0)
	case s.months > 0:
		month := time.Month(1 + (int(t.Month())-1)/s.months*s.months)
		return time.Date(t.Year(), month, 1, 0, 0, 0, 0, t.Location())
	default:
		return time.Date(t.Year()-t.Year()%s.years, 1, 1, 0, 0, 0, 0, t.Location())
	}
}

// next returns the tick behind one. Hours are real ones, so that a day of 25 has
// one more.
func (s calendarStep) next(t time.Time) time.Time {
	if s.hours == 0 {
		return t.AddDate(s.years, s.months, s.days)
	}
	// Behind a change of the clocks, back to the round hour.
	round := time.Date(t.Year(), t.Month(), t.Day(), t.Hour()+s.hours, 0, 0, 0, t.Location())
	if s.hours > 1 && round.After(t) {
		return round
	}
	return t.Add(time.Duration(s.hours) * time.Hour)
}

// stretch prints a window.
func stretch(from, to time.Time) string {
	switch {
	case from.Equal(midnight(from, 0)) && to.Equal(midnight(from, 1)):
		return from.Format("Mon 2 Jan 2006")
	case to.Sub(from) < dayLong && (midnight(from, 0).Equal(midnight(to, 0)) || to.Equal(midnight(from, 1))):
		return from.Format("Mon 2 Jan 2006 15:04") + "–" + to.Format("15:04")
	default:
		return from.Format("Mon 2 Jan 2006 15:04") + " – " + to.Format("Mon 2 Jan 2006 15:04")
	}
}
