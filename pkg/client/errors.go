package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
)

var (
	// ErrInvalid says that an argument is refused. The error that wraps it names the
	// field and says what is allowed; the same question will be refused again.
	ErrInvalid = errors.New("invalid argument")

	// ErrUnavailable says that nobody answers: the platform is not there, or what it
	// rests on is not. Asking again later may help.
	ErrUnavailable = errors.New("unavailable")

	// ErrMissed says that a watch cannot go on where it was, since the platform no
	// longer holds what changed in between: watch without a token, and ask for the
	// windows once it stands.
	ErrMissed = errors.New("changes were missed")
)

// callError is why a call failed.
type callError struct {
	call   string
	cause  error // a sentinel, or nil
	status *status.Status
}

func (e *callError) Error() string { return e.call + ": " + e.status.Message() }

// Unwrap returns what callers test for.
func (e *callError) Unwrap() error { return e.cause }

// GRPCStatus is for status.Code and status.FromError.
func (e *callError) GRPCStatus() *status.Status { return e.status }

// invalid is the error of an argument that is refused here.
func invalid(call, field, format string, args ...any) error {
	return failed(call, status.Errorf(codes.InvalidArgument, "%s %s", field, fmt.Sprintf(format, args...)))
}

func failed(call string, err error) error {
	e := &callError{call: call, status: status.Convert(err)}
	switch e.status.Code() {
	case codes.InvalidArgument:
		e.cause = ErrInvalid
	case codes.Unavailable:
		e.cause = ErrUnavailable
	case codes.OutOfRange:
		e.cause = ErrMissed
	case codes.Canceled:
		e.cause = context.Canceled
	case codes.DeadlineExceeded:
		e.cause = context.DeadlineExceeded
	}
	return e
}

// checkText refuses text that protobuf cannot carry: the error that it would give
// names no field.
func checkText(call string, req proto.Message) error {
	return protorange.Range(req.ProtoReflect(), func(v protopath.Values) error {
		last := v.Index(-1)
		if text, ok := last.Value.Interface().(string); ok && !utf8.ValidString(text) {
			return invalid(call, strings.TrimPrefix(v.Path[1:].String(), "."), "%.40q is not valid UTF-8", text)
		}
		return nil
	})
}
