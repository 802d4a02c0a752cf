package generate

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// unfinished is what the names of files end in until all are written.
const unfinished = ".unfinished"

// The files.
const (
	readingsFile   = "readings.ndjson.gz"
	rubbishFile    = "rubbish.jsonl.gz"
	deliveriesFile = "deliveries.jsonl.gz"
	windowsFile    = "truth_windows.csv.gz"
	daysFile       = "truth_days.csv.gz"
	quarantineFile = "truth_quarantine.csv"
	fleetFile      = "fleet.yaml"
)

var fileNames = [...]string{
	readingsFile, rubbishFile, deliveriesFile, windowsFile, daysFile, quarantineFile, fleetFile,
}

// folder is where the files go.
type folder string

// prepare makes the folder and refuses one that has files of ours.
func (f folder) prepare(force bool) error {
	if err := os.MkdirAll(string(f), 0o755); err != nil {
		return err // os says what and where
	}
	for _, name := range fileNames {
		path := filepath.Join(string(f), name)
		if _, err := os.Lstat(path); err == nil && !force {
			return fmt.Errorf("%s exists; name another folder with --out, or overwrite it with --force", path)
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// write writes a file, compressed if its name says so.
func (f folder) write(name string, fill func(w io.Writer) error) error {
	file, err := os.Create(filepath.Join(string(f), name+unfinished))
	if err != nil {
		return err
	}
	const size = 1 << 16
	to := bufio.NewWriterSize(file, size)
	if strings.HasSuffix(name, ".gz") {
		packed, _ := gzip.NewWriterLevel(to, gzip.BestSpeed) // a level that is
		rows := bufio.NewWriterSize(packed, size)
		err = errors.Join(fill(rows), rows.Flush(), packed.Close())
	} else {
		err = fill(to)
	}
	if err = errors.Join(err, to.Flush(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// finish gives the files their names.
func (f folder) finish() error {
	for _, name := range fileNames {
		path := filepath.Join(string(f), name)
		if err := os.Rename(path+unfinished, path); err != nil {
			return err
		}
	}
	return nil
}

// discard removes what is not finished.
func (f folder) discard() error {
	var faults []error
	for _, name := range fileNames {
		if err := os.Remove(filepath.Join(string(f), name+unfinished)); !errors.Is(err, os.ErrNotExist) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}
