// Package config reads a service's settings from environment variables.
//
// A settings struct names its variables by env tags, their defaults by
// envDefault tags and their meaning by doc tags; Load fills it and reports all
// faults at once, and Table prints it for people. Nothing here reads the
// process's environment: main hands it in.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Secret is a string that prints as ***.
type Secret string

// String returns "***", or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString returns what String does.
func (s Secret) GoString() string { return s.String() }

// LogValue returns what String does.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns what String does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// validator is a settings struct that checks what tags cannot say.
type validator interface{ Validate() error }

// Load returns the settings that the environment gives. The error lists every
// variable that is missing, cannot be parsed or is out of bounds, a line each.
func Load[T any](environment map[string]string) (T, error) {
	settings, err := env.ParseAsWithOptions[T](env.Options{Environment: environment})
	var faults []error
	var aggregate env.AggregateError
	switch {
	case errors.As(err, &aggregate):
		for _, e := range aggregate.Errors {
			faults = append(faults, explain(reflect.TypeFor[T](), e))
		}
	case err != nil:
		faults = append(faults, err)
	}
	if v, ok := any(&settings).(validator); ok {
		faults = append(faults, others(v.Validate(), faults)...)
	}
	if err := errors.Join(faults...); err != nil {
		return settings, fmt.Errorf("settings:\n%w", err)
	}
	return settings, nil
}

// others returns the faults in err, a tree of joined errors, that are not about
// a variable which already has one: what could not be parsed is not out of
// bounds as well.
func others(err error, known []error) (out []error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			out = append(out, others(e, known)...)
		}
		return out
	}
	if err == nil {
		return nil
	}
	name, _, _ := strings.Cut(err.Error(), " ")
	for _, k := range known {
		if strings.HasPrefix(k.Error(), strings.TrimSuffix(name, ":")) {
			return nil
		}
	}
	return []error{err}
}

// explain names the variable of a fault, which the parser names by its field.
func explain(t reflect.Type, err error) error {
	var parse env.ParseError
	var unset env.VarIsNotSetError
	var empty env.EmptyVarError
	isParse, isUnset, isEmpty := errors.As(err, &parse), errors.As(err, &unset), errors.As(err, &empty)
	for _, v := range variables(t) {
		switch {
		case isParse && v.field == parse.Name:
			return fmt.Errorf("%s: %w (%s)", v.Name, parse.Err, v.Doc)
		case isUnset && v.Name == unset.Key, isEmpty && v.Name == empty.Key:
			return fmt.Errorf("%s: is required (%s)", v.Name, v.Doc)
		}
	}
	return err
}

// Environment turns lines of the form NAME=value, as os.Environ returns them,
// into a map for Load.
func Environment(lines []string) map[string]string {
	environment := make(map[string]string, len(lines))
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok {
			environment[name] = value
		}
	}
	return environment
}

// Variable is one setting as people see it.
type Variable struct {
	Name    string
	Default string
	Doc     string
	field   string
}

// Variables returns the settings of a struct in field order.
func Variables[T any]() []Variable { return variables(reflect.TypeFor[T]()) }

func variables(t reflect.Type) []Variable {
	var out []Variable
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		if name == "" {
			if f.Type.Kind() == reflect.Struct {
				out = append(out, variables(f.Type)...)
			}
			continue
		}
		out = append(out, Variable{
			Name: name, Default: f.Tag.Get("envDefault"), Doc: f.Tag.Get("doc"), field: f.Name,
		})
	}
	return out
}
