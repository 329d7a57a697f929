create table plans (id integer primary key, name text not null);
alter table users add column plan_id integer references plans (id);
