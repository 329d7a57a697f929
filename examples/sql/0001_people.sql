create table people (id integer primary key, name text not null);

insert into people (name)
with recursive many(n) as (select 1 union all select n + 1 from many where n < 200000)
select 'Ada' || n || ' van der Berg' from many;
