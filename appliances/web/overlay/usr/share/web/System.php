<?php
declare(strict_types=1);

/** Something that was asked for and cannot be; its message is for people. */
final class Refused extends RuntimeException
{
}

/** Run a program to its end, and give what it prints; Refused with its last words when it fails. */
function run(string ...$argv): string
{
    return runWith([], ...$argv);
}

/** @param array<string, string> $more variables beside those that there are */
function runWith(array $more, string ...$argv): string
{
    $pipes = [];
    $output = tmpfile();
    $streams = [['file', '/dev/null', 'r'], $output, $output];
    $process = proc_open($argv, $streams, $pipes, '/', [...getenv(), ...$more]);
    $status = proc_close($process);
    rewind($output);
    $said = stream_get_contents($output);
    if ($status !== 0) {
        throw new Refused("`{$argv[0]}` ended with $status: " . trim($said));
    }

    return $said;
}

/** Write a file as a whole: whoever reads it sees the old one or the new one. */
function writeWhole(string $file, string $text, int $mode = 0644, string $group = 'root'): void
{
    $new = "$file.new";
    @unlink($new);
    $old = umask(0077);
    try {
        if (file_put_contents($new, $text) !== strlen($text)) {
            throw new Refused("cannot write `$file`");
        }
        chgrp($new, $group);
        chmod($new, $mode);
        rename($new, $file);
    } finally {
        umask($old);
    }
}

/** Make a folder of root's, and those above it. */
function folder(string $path, int $mode = 0755): void
{
    if (!is_dir($path) && !mkdir($path, $mode, true) && !is_dir($path)) {
        throw new Refused("cannot make `$path`");
    }
}

/**
 * Have a unit that runs read its configuration again, which was tested; connections go on meanwhile.
 *
 * By a signal: a job of systemd's would wait for that of web-sites.service, which waits for us.
 */
function reread(string $unit): void
{
    $signals = ['nginx.service' => 'HUP', 'web-php.service' => 'USR2'];
    try {
        run('systemctl', '--quiet', 'is-active', $unit);
    } catch (Refused) {
        return;
    }
    run('systemctl', 'kill', '--kill-who=main', "--signal={$signals[$unit]}", $unit);
}
