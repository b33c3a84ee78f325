//! Ansible: the collection's own tests, kolla-ansible's own roles and a config-download tree, on references alone.

mod disk;
mod genconfig;
mod given;
mod kolla;
mod meanwhile;
mod odd;
mod plugins;
mod reconfigure;
mod run;
mod sanity;
mod site;
mod tripleo;
