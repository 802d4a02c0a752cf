package localpg

import "strconv"

// settings are given on the command line at every start, so that a cluster made by an older build runs with today's.
// They suit one laptop: no replication, hence the least WAL; no socket in the file system, hence no permission on one.
func settings(port int, durable bool) []string {
	all := []string{
		"listen_addresses=" + host,
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=",
		"max_connections=100",
		"password_encryption=scram-sha-256",
		"timezone=UTC",
		"log_timezone=UTC",
		"log_destination=stderr",
		"logging_collector=off",
		"log_min_messages=warning",
		"log_line_prefix=%m [%p] ",
		"wal_level=minimal",
		"max_wal_senders=0",
		"wal_compression=on",
		"jit=off",
	}
	if durable {
		return append(all,
			"shared_buffers=128MB",
			"effective_cache_size=1GB",
			"maintenance_work_mem=64MB",
			"checkpoint_timeout=15min",
			"max_wal_size=1GB",
		)
	}
	return append(all,
		"fsync=off",
		"synchronous_commit=off",
		"full_page_writes=off",
		"shared_buffers=32MB",
		"max_wal_size=512MB",
	)
}
