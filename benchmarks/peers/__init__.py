"""What people build today for the same work, to be measured beside this project."""
