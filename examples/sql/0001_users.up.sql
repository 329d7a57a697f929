-- Everybody who can sign in.
create table users (
    id         integer primary key,
    email      text not null unique,
    created_at text not null default current_timestamp
);

create table notes (
    id      integer primary key,
    user_id integer not null references users (id) on delete cascade,
    body    text not null
);

create index notes_user on notes (user_id);

-- One trigger is one statement, whatever stands between BEGIN and END.
create trigger users_lower_email after insert on users
begin
    update users set email = lower(new.email) where id = new.id;
end;
