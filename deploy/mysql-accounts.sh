#!/bin/bash
# Runs once, when the MySQL container makes its data directory: on its own where this file is executable, else as a
# part of the image's entrypoint, which is why it sets no shell option.
# The owner may grant; the runtime accounts start with nothing and are granted table by table by "migrate".
MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql --protocol=socket --user=root <<SQL
CREATE DATABASE customerflow CHARACTER SET utf8mb4;
CREATE USER cf_owner@'%' IDENTIFIED BY '${MYSQL_OWNER_PASSWORD:?}';
CREATE USER customerflow@'%' IDENTIFIED BY '${MYSQL_RUNTIME_PASSWORD:?}';
CREATE DATABASE customerflow_partners CHARACTER SET utf8mb4;
CREATE USER cf_partners@'%' IDENTIFIED BY '${MYSQL_PARTNERS_PASSWORD:?}';
GRANT ALL ON customerflow_partners.* TO cf_owner@'%' WITH GRANT OPTION;
GRANT ALL ON customerflow.* TO cf_owner@'%' WITH GRANT OPTION;
SQL
