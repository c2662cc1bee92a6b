<?php
declare(strict_types=1);

// Asked by Oven through nginx: it answers `ready` where all that sites stand on works.

header('Content-Type: text/plain');
$told = json_decode(file_get_contents('/var/lib/web/ready.json'), true);
if ($told['database']) {
    mysqli_report(MYSQLI_REPORT_OFF);
    $server = @new mysqli('localhost', 'www-data', socket: '/run/mysqld/mysqld.sock');
    if ($server->connect_errno !== 0) {
        http_response_code(503);
        exit("MariaDB: {$server->connect_error}\n");
    }
    $server->query('SELECT 1') || http_response_code(503);
}
echo "ready\n";
