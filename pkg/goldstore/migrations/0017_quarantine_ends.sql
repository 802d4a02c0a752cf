-- What a position rests on in the stream QUARANTINE, where a stage that keeps its
-- position here puts readings that it refuses: the last message of its own, when the
-- stream was made, and a CRC-32C of the message. 0 says that there is none.
ALTER TABLE gold.positions
    ADD COLUMN refused_created_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN refused_sequence   bigint NOT NULL DEFAULT 0,
    ADD COLUMN refused_sum        bigint NOT NULL DEFAULT 0;
