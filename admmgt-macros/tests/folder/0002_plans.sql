-- migrate:up
create plans
-- migrate:down
drop plans
