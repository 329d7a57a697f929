drop users;
