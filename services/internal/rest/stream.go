package rest

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"
)

// earlyConn makes streams that fail before their first message fail at once.
// The gateway then answers with the status alone, as the OpenAPI document says,
// where it would otherwise send the last line of a stream that never began.
type earlyConn struct{ grpc.ClientConnInterface }

// NewStream begins a stream.
func (c earlyConn) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	s, err := c.ClientConnInterface.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, err
	}
	return &earlyStream{ClientStream: s}, nil
}

type earlyStream struct {
	grpc.ClientStream
	ended error // io.EOF or a status, once Header has seen the end
}

// Header waits for the stream's header, or for the end of one that has none.
func (s *earlyStream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	if md != nil || err != nil {
		return md, err
	}
	s.ended = s.ClientStream.RecvMsg(new(emptypb.Empty))
	if errors.Is(s.ended, io.EOF) {
		return nil, nil
	}
	return nil, s.ended
}

// RecvMsg receives the next message.
func (s *earlyStream) RecvMsg(m any) error {
	if s.ended != nil {
		return s.ended
	}
	return s.ClientStream.RecvMsg(m)
}
