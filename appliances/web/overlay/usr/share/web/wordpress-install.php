<?php
declare(strict_types=1);

// Sets up a WordPress, or brings its database to the version of the program; as the site's own user.

$told = json_decode($argv[1], true, flags: JSON_THROW_ON_ERROR);
$_SERVER['WORDPRESS_CONFIG'] = getenv('WORDPRESS_CONFIG');
$_SERVER['HTTP_HOST'] = $_SERVER['SERVER_NAME'] = getenv('WEB_NAME');
$_SERVER['REQUEST_URI'] = '/';
define('WP_INSTALLING', true);
// Nobody is written to while it is set up: there may be no mail server yet.
function wp_mail(): bool { return true; }

require '/usr/share/wordpress/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';

if (!is_blog_installed()) {
    $password = trim(file_get_contents($told['password']));
    wp_install($told['title'], $told['admin'], $told['email'], true, '', wp_slash($password));
    update_option('permalink_structure', '/%year%/%monthnum%/%postname%/');
    // No service elsewhere is told of each post, unless somebody wants that.
    update_option('ping_sites', '');
    flush_rewrite_rules(false);
} elseif ((int) get_option('db_version') < $GLOBALS['wp_db_version']) {
    // Debian's package leaves that to somebody who logs in (README.Debian).
    wp_upgrade();
}
