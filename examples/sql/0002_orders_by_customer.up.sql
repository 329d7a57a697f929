create index concurrently orders_by_customer on orders (customer);
