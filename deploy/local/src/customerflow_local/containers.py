"""The servers of docker-compose.yml, each in a container of its own, for tests where a Docker engine answers."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testcontainers.community.mysql import MySqlContainer
from testcontainers.community.rabbitmq import RabbitMqContainer
from testcontainers.community.redis import RedisContainer

MYSQL = "mysql:8.4"
RABBITMQ = "rabbitmq:4-management"
REDIS = "redis:8"


@dataclass(frozen=True)
class Addresses:
    mysql_url: str
    mysql_owner_url: str
    amqp_url: str
    redis_url: str
    management_url: str
    vhosts: "Vhosts"


@dataclass(frozen=True)
class Vhosts:
    """Virtual hosts of the broker in a container."""

    broker: RabbitMqContainer
    url: str

    def add_vhost(self, name: str) -> str:
        self._control("add_vhost", name)
        self._control("set_permissions", "--vhost", name, self.broker.username, ".*", ".*", ".*")
        return f"{self.url}{name}"

    def delete_vhost(self, name: str) -> None:
        self._control("delete_vhost", name)

    def _control(self, *arguments: str) -> None:
        code, output = self.broker.exec(["rabbitmqctl", "--quiet", *arguments])
        if code:
            raise RuntimeError(f"rabbitmqctl {arguments[0]} failed: {output!r}")


@contextmanager
def started() -> Iterator[Addresses]:
    """Containers on ports that the engine chooses, removed afterwards."""
    password = secrets.token_urlsafe(16)
    user = "customerflow"
    with (
        MySqlContainer(MYSQL, username=user, password=password, root_password=password, dbname=user) as mysql,
        RabbitMqContainer(RABBITMQ, username=user, password=password).with_exposed_ports(15672) as broker,
        RedisContainer(REDIS) as redis,
    ):
        mysql_at = f"{mysql.get_container_host_ip()}:{mysql.get_exposed_port(3306)}/{user}"
        amqp_url = f"amqp://{user}:{password}@{broker.get_container_host_ip()}:{broker.get_exposed_port(5672)}/"
        management_at = f"{broker.get_container_host_ip()}:{broker.get_exposed_port(15672)}"
        yield Addresses(
            mysql_url=f"mysql://{user}:{password}@{mysql_at}",
            mysql_owner_url=f"mysql://root:{password}@{mysql_at}",
            amqp_url=amqp_url,
            redis_url=f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0",
            management_url=f"http://{user}:{password}@{management_at}/",
            vhosts=Vhosts(broker, amqp_url),
        )
