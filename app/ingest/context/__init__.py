"""What events say without saying it: of the device, by user agent and headers; of the campaign, by addresses."""
