mod embed;
mod recorded;
