#!/bin/sh
# Sets up what Debian's packages set up when they are installed, for their files are here and their data is not.
set -eu
mariadb-install-db --user=mysql --auth-root-authentication-method=socket --skip-test-db >/dev/null
cat /usr/share/postfix/main.cf.debian /usr/share/postfix/main.cf.tls > /etc/postfix/main.cf
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
# shellcheck disable=SC2016 # Postfix's variables
postconf -e 'smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination' \
    'myhostname = mail.example.org' 'myorigin = /etc/mailname' 'mydestination = $myhostname, localhost' \
    'mynetworks = 127.0.0.0/8 [::1]/128' 'inet_interfaces = all' 'recipient_delimiter = +'
for user in lightmail seaweedfs; do
    ! getent passwd $user >/dev/null || userdel $user
done
if getent passwd prometheus >/dev/null; then
    install -d -o prometheus /var/lib/prometheus/metrics2
fi
