-- One-off dynos that are not over: the reconciler reads them in every round, among all that ever were.
CREATE INDEX one_offs_unfinished ON one_offs (created_at, id) WHERE finished_at IS NULL;
