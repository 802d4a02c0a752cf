package fleet

import "iter"

// zones are the zones of the default configuration with their standard offset
// in minutes. Loads follow standard time all year, so that deliveries do not
// depend on a zone database. They are seven so that every model of meter, of
// which there are four, stands in each.
var zones = [...]struct {
	name   string
	offset int64
}{
	{"Europe/Paris", 60},
	{"America/New_York", -300},
	{"Asia/Kathmandu", 345},
	{"Australia/Lord_Howe", 630},
	{"UTC", 0},
	{"America/St_Johns", -210},
	{"Pacific/Auckland", 720},
}

// zoneNames yields the names of the zones.
var zoneNames iter.Seq[string] = func(yield func(string) bool) {
	for i := range zones {
		if !yield(zones[i].name) {
			return
		}
	}
}

// offsetOf returns the standard offset of a zone in ms; 0 for those not listed.
func offsetOf(zone string) int64 {
	for i := range zones {
		if zones[i].name == zone {
			return zones[i].offset * minuteMillis
		}
	}
	return 0
}

// shape is how a quantity runs through the day.
type shape struct {
	base    int64     // that the load adds to, in thousandths
	noise   int64     // greatest deviation in per mille of the load
	weekend int64     // load on Saturday and Sunday in per mille
	hours   [24]int64 // per mille of the load's size at the full hours
}

// The shapes.
var (
	household = shape{0, 300, 1150, [24]int64{
		210, 180, 170, 165, 170, 220, 420, 640, 560, 430, 400, 430,
		520, 470, 410, 400, 450, 640, 880, 1000, 930, 720, 480, 300,
	}}
	office = shape{0, 150, 350, [24]int64{
		200, 190, 190, 190, 200, 240, 380, 620, 850, 950, 980, 960,
		900, 960, 1000, 970, 900, 720, 500, 360, 290, 250, 220, 210,
	}}
	sun = shape{0, 250, 1000, [24]int64{
		0, 0, 0, 0, 0, 0, 30, 150, 350, 570, 770, 920,
		1000, 970, 870, 700, 480, 260, 80, 10, 0, 0, 0, 0,
	}}
	heating = shape{0, 120, 1050, [24]int64{
		520, 500, 500, 510, 560, 760, 1000, 950, 820, 700, 620, 580,
		560, 550, 560, 600, 680, 780, 820, 800, 740, 660, 600, 550,
	}}
	mains = shape{226_000, 400, 1000, [24]int64{
		700, 720, 740, 750, 740, 690, 560, 430, 430, 480, 520, 540,
		560, 560, 550, 530, 480, 400, 320, 300, 350, 450, 570, 650,
	}}
	air = shape{-4_000, 60, 1000, [24]int64{
		380, 330, 290, 260, 240, 250, 320, 430, 550, 670, 780, 870,
		940, 990, 1000, 980, 930, 850, 760, 670, 590, 530, 470, 420,
	}}
)

// load is what a series measures.
type load struct {
	shape  *shape
	size   int64 // in thousandths of the unit, or of the unit an hour
	offset int64 // of its local time, ms
}

// at returns the load at a time (Unix ms), with noise.
func (l *load) at(ms int64, d *dice) int64 {
	const thursday = 4 // the first of January 1970
	local := ms + l.offset
	minute := local % dayMillis / minuteMillis
	hour := minute / 60
	minute %= 60
	v := (l.shape.hours[hour]*(60-minute) + l.shape.hours[(hour+1)%24]*minute) / 60
	if day := (local/dayMillis + thursday) % 7; day == 0 || day == 6 {
		v = v * l.shape.weekend / 1000
	}
	v = v * (1000 + d.between(-l.shape.noise, l.shape.noise)) / 1000
	return l.shape.base + l.size*v/1000
}

// mean returns the mean load of a working day.
func (l *load) mean() int64 {
	var sum int64
	for _, v := range l.shape.hours {
		sum += v
	}
	return l.size * sum / (24 * 1000)
}
