drop index concurrently events_by_name;
