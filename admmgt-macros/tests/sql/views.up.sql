create view v;
