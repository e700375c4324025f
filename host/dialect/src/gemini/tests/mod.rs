mod embed;
mod recorded;
mod requests;
