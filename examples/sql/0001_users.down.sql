drop table notes;
drop table users;
