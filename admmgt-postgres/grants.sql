-- What two roles need: `shop_migrator` runs migrations, `shop_app` is the application's. Run it once, as the owner of
-- the database `shop`, before the first migration. The history is in a schema of its own, which the application
-- may read and not write: `Postgres::connect(url)?.history_schema("admmgt")?` in both programs.

grant connect on database shop to shop_migrator, shop_app;

create schema admmgt authorization shop_migrator;
grant usage on schema admmgt to shop_app;
alter default privileges for role shop_migrator in schema admmgt grant select on tables to shop_app;

-- What the migrations make, the application may use.
grant usage, create on schema public to shop_migrator;
grant usage on schema public to shop_app;
alter default privileges for role shop_migrator in schema public
    grant select, insert, update, delete on tables to shop_app;
alter default privileges for role shop_migrator in schema public grant usage, select on sequences to shop_app;
