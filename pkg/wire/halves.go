package wire

// Halves returns two messages that say of the rows what this one does, so that each half
// can be dealt with by itself. One row or none cannot be halved: there are no messages
// then.
func (b *Bronze) Halves() (halves [][]byte, err error) {
	if b.Len() < 2 {
		return nil, nil
	}
	var e BronzeEncoder
	half := func() error {
		e.epoch, e.again = b.Epoch(), b.Again()
		data, err := e.Marshal()
		halves = append(halves, data)
		return err
	}
	for row := range b.Rows() {
		if e.Len() == b.Len()/2 && len(halves) == 0 {
			if err := half(); err != nil {
				return nil, err
			}
		}
		if row.Waived != nil {
			e.Release(row.Reading, row.Stamp, row.Waived)
		} else {
			e.Add(row.Reading, row.Stamp)
		}
	}
	return halves, half()
}
