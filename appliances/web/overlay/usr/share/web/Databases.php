<?php
declare(strict_types=1);

/** Databases in MariaDB. Users come by the socket, which tells who they are: there is no password. */
final class Databases
{
    private const WANTED = '/var/lib/web/database';

    /** Have the server run where a site needs it, also one that was added by hand. */
    public static function start(Settings $settings): void
    {
        if ($settings->needsDatabase()) {
            touch(self::WANTED);
            run('systemctl', 'start', 'mariadb.service');
        }
    }

    /** Make the database of a site and its user, where they are missing. */
    public static function settle(Site $site): void
    {
        $account = $site->account();
        self::query(
            "CREATE DATABASE IF NOT EXISTS `$account` CHARACTER SET utf8mb4",
            "CREATE USER IF NOT EXISTS `$account`@localhost IDENTIFIED VIA unix_socket",
            "GRANT ALL ON `$account`.* TO `$account`@localhost",
        );
    }

    /** Let whoever asks whether this server is ready ask the database, and see nothing of it. */
    public static function letReadyAsk(): void
    {
        self::query('CREATE USER IF NOT EXISTS `www-data`@localhost IDENTIFIED VIA unix_socket');
    }

    private static function query(string ...$statements): void
    {
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        try {
            $server = new mysqli('localhost', 'root', socket: '/run/mysqld/mysqld.sock');
            foreach ($statements as $statement) {
                $server->query($statement);
            }
            $server->close();
        } catch (mysqli_sql_exception $error) {
            throw new Refused("MariaDB: {$error->getMessage()}");
        }
    }
}
