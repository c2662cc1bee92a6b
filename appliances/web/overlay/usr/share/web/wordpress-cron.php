<?php
declare(strict_types=1);

// Does what is due in a WordPress; as the site's own user.

$_SERVER['WORDPRESS_CONFIG'] = getenv('WORDPRESS_CONFIG');
$_SERVER['HTTP_HOST'] = $_SERVER['SERVER_NAME'] = getenv('WEB_NAME');
$_SERVER['REQUEST_URI'] = '/';
require '/usr/share/wordpress/wp-cron.php';
