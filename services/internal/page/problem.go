package page

import (
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// problem is why a request is not answered, for people.
type problem struct {
	code             int
	Headline, Detail string
}

func (p *problem) Error() string { return p.Headline + ": " + p.Detail }

// refused is a parameter that cannot be.
func refused(detail string) error {
	return &problem{http.StatusBadRequest, "This cannot be asked", detail}
}

// problemOf turns an error, of the service or of the page, into a problem.
func problemOf(err error) *problem {
	if known := (*problem)(nil); errors.As(err, &known) {
		return known
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.InvalidArgument:
		return &problem{http.StatusBadRequest, "This cannot be asked", s.Message()}
	case codes.NotFound:
		return &problem{http.StatusNotFound, "There is no such thing", s.Message()}
	case codes.Unauthenticated, codes.PermissionDenied:
		return &problem{http.StatusForbidden, "This is not for you", s.Message()}
	case codes.ResourceExhausted:
		return &problem{http.StatusTooManyRequests, "That is too much at once", s.Message()}
	case codes.Unavailable, codes.FailedPrecondition:
		return &problem{http.StatusServiceUnavailable, "Not available at the moment", s.Message()}
	case codes.DeadlineExceeded:
		return &problem{http.StatusGatewayTimeout, "This takes too long", s.Message()}
	default:
		return &problem{http.StatusInternalServerError, "Something went wrong", s.Message()}
	}
}
