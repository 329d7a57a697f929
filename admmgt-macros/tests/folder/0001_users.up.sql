create users;
