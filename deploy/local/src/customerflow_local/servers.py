"""The three servers of an instance: how each is prepared, run, and known to be ready.

All listen on 127.0.0.1 only. Data of a first start that never got as far as ready is thrown away and
made again, so an interruption at any moment heals; data that was ready once is never touched.
"""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from customerflow_local.errors import LocalStackError
from customerflow_local.instance import Instance
from customerflow_local.processes import MARKER
from customerflow_local.supervision import Service

# Each port by the service that listens on it.
PORTS = {
    "mysql": "mysql",
    "redis": "redis",
    "epmd": "epmd",
    "amqp": "rabbitmq",
    "erlang": "rabbitmq",
    "management": "rabbitmq",
}

_WAS_READY = "was-ready"


@dataclass(frozen=True)
class Server:
    """`config` are the files that it reads when it starts, by their names in the instance."""

    name: str
    services: tuple[Service, ...]
    config: Mapping[str, str]
    prepare: Callable[[], None]
    ready: Callable[[], bool]


def servers(instance: Instance, programs: Path, *, durable: bool) -> list[Server]:
    """Without `durable`, a commit survives the death of the server but not that of the machine."""
    return [
        _rabbitmq(instance, programs),  # the slowest to start: first
        _redis(instance, programs),
        _mysql(instance, programs, durable=durable),
    ]


def urls(instance: Instance) -> dict[str, str]:
    """The servers as the programs' settings name them."""
    ports, secrets = instance.ports, instance.secrets
    mysql = f"127.0.0.1:{ports['mysql']}/customerflow"
    partners = f"{mysql}_partners"
    found = {
        "CF_MYSQL_URL": f"mysql://customerflow:{secrets['mysql_runtime']}@{mysql}",
        "CF_MYSQL_OWNER_URL": f"mysql://cf_owner:{secrets['mysql_owner']}@{mysql}",
        "CF_PARTNERS_MYSQL_URL": f"mysql://cf_partners:{secrets['mysql_partners']}@{partners}",
        "CF_PARTNERS_MYSQL_OWNER_URL": f"mysql://cf_owner:{secrets['mysql_owner']}@{partners}",
        "CF_AMQP_URL": f"amqp://customerflow:{secrets['amqp']}@127.0.0.1:{ports['amqp']}/",
        "CF_REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
    }
    if "management" in ports:  # a broker that an earlier release has started does not have it
        account = f"customerflow:{secrets['amqp']}"
        found["CF_RABBITMQ_MANAGEMENT_URL"] = f"http://{account}@127.0.0.1:{ports['management']}/"
    return found


def start_afresh_unless_ready_before(instance: Instance, name: str) -> Path:
    """The server's folder: as it is if the server was ready once, else empty."""
    folder = instance.folder / name
    if not was_ready(instance, name):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    return folder


def remember_ready(instance: Instance, name: str) -> None:
    (instance.folder / name / _WAS_READY).touch()


def was_ready(instance: Instance, name: str) -> bool:
    return (instance.folder / name / _WAS_READY).exists()


# MariaDB or MySQL, whichever was unpacked


def _mysql(instance: Instance, programs: Path, *, durable: bool) -> Server:
    folder = instance.folder / "mysql"
    config = instance.folder / "config/mysql.cnf"
    accounts = instance.folder / "config/mysql-accounts.sql"
    command = [str(programs / "usr/sbin/mysqld"), f"--defaults-file={config}", f"--init-file={accounts}"]

    user = pwd.getpwuid(os.geteuid()).pw_name  # the server runs as root only if it is told to
    written = {
        "config/mysql-accounts.sql": _accounts(instance.secrets),
        "config/mysql.cnf": f"""\
[mysqld]
user = {user}
basedir = {programs}/usr
datadir = {folder}/data
tmpdir = {folder}
secure-file-priv = {folder}
socket = {instance.sockets}/mysql.sock
pid-file = {folder}/pid
bind-address = 127.0.0.1
port = {instance.ports["mysql"]}
loose-mysqlx = OFF
skip-name-resolve
character-set-server = utf8mb4
max-connections = 500
performance-schema = OFF
innodb-buffer-pool-size = 512M
innodb-flush-log-at-trx-commit = {1 if durable else 2}
sync-binlog = {1 if durable else 0}
""",
    }

    def prepare() -> None:
        start_afresh_unless_ready_before(instance, "mysql")
        if not (folder / "data/mysql").exists():
            _create_system_tables(instance, programs, config)

    return Server(
        "mysql",
        (Service("mysql", command, priority=10),),
        written,
        prepare,
        lambda: _answers(instance.ports["mysql"], b"", lambda greeting: greeting[4:5] == b"\x0a"),
    )


def _create_system_tables(instance: Instance, programs: Path, config: Path) -> None:
    script = programs / "usr/bin/mariadb-install-db"
    command = [str(programs / "usr/sbin/mysqld"), f"--defaults-file={config}", "--initialize-insecure"]
    if script.exists():
        command = [str(script), f"--defaults-file={config}", f"--basedir={programs}/usr"]
        command += ["--auth-root-authentication-method=socket", "--skip-test-db", "--skip-log-bin"]
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], MARKER: str(instance.folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LocalStackError(f"The database server's own tables could not be made:\n{done.stdout}{done.stderr}")


def _accounts(secrets: Mapping[str, str]) -> str:
    """Run at each start of the server, so it only says what must be true: one statement a line.

    The owner may also make databases named customerflow_*: each test suite has one of its own.
    """
    return f"""\
ALTER USER 'root'@'localhost' ACCOUNT LOCK;
CREATE DATABASE IF NOT EXISTS customerflow CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'cf_owner'@'%' IDENTIFIED BY '{secrets["mysql_owner"]}';
GRANT ALL PRIVILEGES ON customerflow.* TO 'cf_owner'@'%' WITH GRANT OPTION;
GRANT ALL PRIVILEGES ON `customerflow\\_%`.* TO 'cf_owner'@'%' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS 'customerflow'@'%' IDENTIFIED BY '{secrets["mysql_runtime"]}';
CREATE DATABASE IF NOT EXISTS customerflow_partners CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS 'cf_partners'@'%' IDENTIFIED BY '{secrets["mysql_partners"]}';
"""


# Redis


def _redis(instance: Instance, programs: Path) -> Server:
    config = instance.folder / "config/redis.conf"

    # The process title would be written over the environment, and the marker with it.
    written = f"""\
bind 127.0.0.1
port {instance.ports["redis"]}
dir "{instance.folder / "redis"}"
appendonly yes
save ""
maxmemory-policy noeviction
databases 256
set-proc-title no
"""

    def prepare() -> None:
        start_afresh_unless_ready_before(instance, "redis")

    return Server(
        "redis",
        (Service("redis", [str(programs / "usr/bin/redis-server"), str(config)], priority=10),),
        {"config/redis.conf": written},
        prepare,
        lambda: _answers(instance.ports["redis"], b"PING\r\n", lambda answer: answer.startswith(b"+PONG")),
    )


# RabbitMQ


def _rabbitmq(instance: Instance, programs: Path) -> Server:
    written = {
        "config/rabbitmq-plugins": "[rabbitmq_management].\n",
        "config/rabbitmq.conf": f"""\
listeners.tcp.1 = 127.0.0.1:{instance.ports["amqp"]}
default_user = customerflow
default_pass = {instance.secrets["amqp"]}
management.tcp.ip = 127.0.0.1
management.tcp.port = {instance.ports["management"]}
disk_free_limit.absolute = 200MB
log.console = true
log.console.level = info
log.file = false
""",
    }

    def prepare() -> None:
        folder = start_afresh_unless_ready_before(instance, "rabbitmq")
        cookie = folder / ".erlang.cookie"
        if not cookie.exists():
            instance.write("rabbitmq/.erlang.cookie", instance.secrets["erlang_cookie"])
        cookie.chmod(0o400)

    env = rabbitmq_env(instance, programs)
    epmd = Service(
        "epmd",
        [str(programs / "usr/bin/epmd"), "-address", "127.0.0.1", "-port", str(instance.ports["epmd"])],
        priority=10,
    )
    # RUNNING_UNDER_SYSTEMD: the script becomes the Erlang machine instead of standing between us and it.
    node = Service(
        "rabbitmq",
        [str(_rabbitmq_script(programs, "rabbitmq-server"))],
        {**env, "RUNNING_UNDER_SYSTEMD": "true"},
        priority=20,
    )
    protocol_header = b"AMQP\x00\x00\x09\x01"
    return Server(
        "rabbitmq",
        (epmd, node),
        written,
        prepare,
        lambda: _answers(instance.ports["amqp"], protocol_header, lambda answer: answer.startswith(b"\x01\x00\x00")),
    )


# one thread of work, and what has nothing to do sleeps at once: on few cores, the others need them
IDLE = "+sbwt none +sbwtdcpu none +sbwtdio none +S 1:1"


def rabbitmq_env(instance: Instance, programs: Path) -> dict[str, str]:
    """For the node and for rabbitmqctl: all below the instance, nothing from /etc, an epmd of our own."""
    folder, config = instance.folder / "rabbitmq", instance.folder / "config"
    loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
    return {
        "PATH": f"{programs}/usr/bin:{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(instance.ports["epmd"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "customerflow@localhost",
        "RABBITMQ_DIST_PORT": str(instance.ports["erlang"]),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} -start_epmd false {IDLE}",
        "RABBITMQ_CTL_ERL_ARGS": loopback,
        "RABBITMQ_CONF_ENV_FILE": str(config / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(config / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(config / "rabbitmq-advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(config / "rabbitmq-plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_LOGS": "-",
    }


def add_vhost(instance: Instance, programs: Path, name: str) -> None:
    """In one call of rabbitmqctl, since each costs a start of the Erlang machine."""
    permissions = f'<<"customerflow">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"local">>'
    _evaluate(
        instance,
        programs,
        f'ok = rabbit_vhost:add(<<"{name}">>, <<"local">>), '
        f"rabbit_auth_backend_internal:set_permissions({permissions}).",
    )


def delete_vhost(instance: Instance, programs: Path, name: str) -> None:
    _evaluate(instance, programs, f'rabbit_vhost:delete(<<"{name}">>, <<"local">>).')


def _evaluate(instance: Instance, programs: Path, code: str) -> None:
    done = subprocess.run(
        [str(_rabbitmq_script(programs, "rabbitmqctl")), "eval", code],
        env={**rabbitmq_env(instance, programs), MARKER: str(instance.folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LocalStackError(f"RabbitMQ refused {code}\n{done.stdout}{done.stderr}")


def _rabbitmq_script(programs: Path, name: str) -> Path:
    (script,) = programs.glob(f"usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/{name}")
    return script


def _answers(port: int, question: bytes, understood: Callable[[bytes], bool]) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(question)
            return understood(connection.recv(64))
    except OSError:
        return False
