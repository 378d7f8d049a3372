#!/bin/bash
# Runs once, when the MySQL container makes its data directory.
# The owner may grant; the runtime account starts with nothing and is granted table by table by "migrate".
set -eu
MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql --protocol=socket --user=root <<SQL
CREATE DATABASE customerflow CHARACTER SET utf8mb4;
CREATE USER cf_owner@'%' IDENTIFIED BY '$MYSQL_OWNER_PASSWORD';
CREATE USER customerflow@'%' IDENTIFIED BY '$MYSQL_RUNTIME_PASSWORD';
GRANT ALL ON customerflow.* TO cf_owner@'%' WITH GRANT OPTION;
SQL
