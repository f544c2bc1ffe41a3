-- Since when a node has been heard without a gap: before it may take over from others, it has to have been there itself.

ALTER TABLE nodes ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
